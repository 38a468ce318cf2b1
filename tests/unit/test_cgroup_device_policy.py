"""Device rules, applied in order, leave a default and exceptions."""

import pytest

from minidock.errors import BadJSON
from minidock.isolation.cgroups.device_policy import (
    DEFAULT_RULES,
    DeviceException,
    DevicePolicy,
    container_policy,
    device_policy,
)
from minidock.spec.resources import DeviceRule

DENY_ALL = DeviceRule(False)
ALLOW_ALL = DeviceRule(True)
NULL = DeviceRule(True, "c", 1, 3, "rwm")


def test_nothing_is_allowed_without_rules() -> None:
    assert device_policy([]) == DevicePolicy(False)


def test_the_host_disk_can_be_made_but_not_opened() -> None:
    policy = device_policy((DENY_ALL, *DEFAULT_RULES))
    assert policy.allows("b", 8, 0, "m")
    for access in ("r", "w", "rw", "rm"):
        assert not policy.allows("b", 8, 0, access)


@pytest.mark.parametrize(
    "numbers", [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, 0), (136, 9)]
)
def test_every_container_may_use_the_harmless_devices(numbers: tuple[int, int]) -> None:
    assert device_policy(DEFAULT_RULES).allows("c", *numbers, "rwm")


@pytest.mark.parametrize(
    "numbers",
    [(1, 1), (1, 2), (1, 4), (1, 11), (4, 0), (10, 200), (10, 229), (10, 232), (13, 64), (226, 0)],
    ids=["mem", "kmem", "port", "kmsg", "tty0", "tun", "fuse", "kvm", "event0", "drm"],
)
def test_no_container_may_use_the_others(numbers: tuple[int, int]) -> None:
    policy = device_policy(DEFAULT_RULES)
    assert not policy.allows("c", *numbers, "r")
    assert not policy.allows("c", *numbers, "w")


def test_rules_for_the_same_device_add_up() -> None:
    policy = device_policy([DeviceRule(True, "c", 1, 3, "w"), DeviceRule(True, "c", 1, 3, "r")])
    assert policy.exceptions == (DeviceException("c", 1, 3, "rw"),)
    assert str(policy.exceptions[0]) == "c 1:3 rw"


def test_a_rule_for_all_forgets_what_came_before() -> None:
    assert device_policy([NULL, DENY_ALL]) == DevicePolicy(False)
    assert device_policy([NULL, ALLOW_ALL]) == DevicePolicy(True)


def test_all_but_one() -> None:
    policy = device_policy([ALLOW_ALL, DeviceRule(False, "b", 8, None, "w")])
    assert policy.allows("b", 8, 1, "r")
    assert not policy.allows("b", 8, 1, "rw")
    assert policy.allows("c", 8, 1, "rw")


def test_taking_back_part_of_an_exception() -> None:
    policy = device_policy([NULL, DeviceRule(False, "c", 1, 3, "w")])
    assert policy.exceptions == (DeviceException("c", 1, 3, "rm"),)


def test_taking_back_a_whole_kind_takes_the_single_devices_too() -> None:
    policy = device_policy([NULL, DeviceRule(False, "c", None, None, "rwm")])
    assert policy == DevicePolicy(False)


def test_no_hole_can_be_cut_into_a_wildcard() -> None:
    with pytest.raises(BadJSON, match=r"the wildcard in 'c \*:\* rwm'"):
        device_policy([DeviceRule(True, "c", None, None, "rw"), DeviceRule(False, "c", 1, 3, "r")])


def test_a_wildcard_for_other_access_is_no_obstacle() -> None:
    policy = device_policy(
        [DeviceRule(True, "c", None, None, "m"), NULL, DeviceRule(False, "c", 1, 3, "r")]
    )
    assert not policy.allows("c", 1, 3, "r")
    assert policy.allows("c", 1, 3, "w")


def test_default_devices_are_added_to_a_list_of_what_is_allowed() -> None:
    assert container_policy([DENY_ALL]) == device_policy(DEFAULT_RULES)
    assert container_policy([]).allows("c", 1, 3, "rw")


def test_but_not_to_a_list_of_what_is_forbidden() -> None:
    rules = [ALLOW_ALL, DeviceRule(False, "c", 1, 3, "w")]
    assert container_policy(rules) == device_policy(rules)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (DeviceRule(True, "c\n", 1, 3), "unknown type"),
        (DeviceRule(True, "u", 1, 3), "unknown type"),
        (DeviceRule(True, "c", 1, 3, "rwx"), "access is not made of r, w and m"),
        (DeviceRule(True, "c", 1, 3, ""), "access is not made of r, w and m"),
        (DeviceRule(True, "a", 1, None), "for all devices and all access"),
        (DeviceRule(True, "a", access="r"), "for all devices and all access"),
    ],
)
def test_a_rule_that_means_nothing_is_refused(rule: DeviceRule, said: str) -> None:
    with pytest.raises(BadJSON, match=said):
        device_policy([rule])
