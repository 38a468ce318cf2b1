from flask import Flask

app = Flask(__name__)


@app.get("/<name>")
def hello(name: str) -> str:
    return f"hello {name}\n"
