"""A Dockerfile and a directory become an image.

    text ─ lines.py ─ dockerfile.py ─────► instructions.py     the file as values; errors.py shows
                      (grammar.py, mounts.py)                  the place where it is wrong
    instruction + variables.py ──────────► instruction         its texts as they are meant
    instruction + config.py  ────────────► config              ENV, CMD, LABEL … of the image
    directory + dockerignore.py ─────────► context             what the build may see

parse_dockerfile(text, path) -> Dockerfile                             dockerfile.py
parse_triggers(triggers, image) -> tuple[Instruction, ...]             dockerfile.py: ONBUILD
global_arguments(dockerfile, build_args, platform) -> dict             variables.py: what FROM sees
expanded(instruction or stage, variables, escape) -> the same          variables.py
configured(config, instruction) -> config                              config.py; pure
Ignore(text).excludes(path, is_directory) -> bool                      dockerignore.py
"""
