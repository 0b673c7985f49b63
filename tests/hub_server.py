"""A model hub on this machine: of the Hugging Face Hub's interface, what uploading and downloading a model asks for."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse

import yaml


class Repository:
    """Commits, the newest last: their names, and the files of each."""

    def __init__(self, visibility):
        self.visibility = visibility
        self.commits = {}

    def commit(self, files):
        """Adds a commit; returns its name."""
        name = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[name] = files
        return name

    def find(self, revision):
        """The name of a commit; None if there is no such revision."""
        return list(self.commits)[-1] if revision == "main" else revision if revision in self.commits else None


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers requests from the server's `repositories`, and notes what was fetched in `fetched`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Says nothing."""

    def answer(self, status, body, **headers):
        """Sends bytes, or what becomes JSON."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": len(body)} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def page(self, name):
        """The address of a repository's page."""
        return f"{self.server.url}/{name}"

    def refuse(self, code):
        """Says by the hub's own word what is not there."""
        self.answer(404, {"error": code}, X_Error_Code=code)

    def do_GET(self):
        """A user's name; a model's facts, its list of files, or a file: of a repository and revision that are there."""
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/")
        if path == "api/whoami-v2":
            known = self.headers.get("Authorization") == f"Bearer {self.server.token}"
            return self.answer(200 if known else 401, {"name": "lab"} if known else {"error": "Invalid user token."})
        steps = path.removeprefix("api/models/").split("/")
        repository = self.server.repositories.get("/".join(steps[:2]))
        kind, revision, file = (*steps[2:], "main", "")[:3] if len(steps) > 3 else ("revision", "main", "")
        if repository is None:
            return self.refuse("RepoNotFound")
        commit = repository.find(revision)
        if commit is None:
            return self.refuse("RevisionNotFound")
        files = repository.commits[commit]
        if kind == "revision":
            return self.answer(200, {"id": "/".join(steps[:2]), "sha": commit, "siblings": []})
        if kind == "tree":
            of = lambda name, data: {"type": "file", "path": name, "size": len(data), "oid": etag(data)}  # noqa: E731
            return self.answer(200, [of(name, data) for name, data in files.items()])
        assert kind == "resolve"
        if self.command == "GET":
            self.server.fetched.append(file)
        return self.answer(200, files[file], ETag=f'"{etag(files[file])}"', X_Repo_Commit=commit)

    do_HEAD = do_GET

    def do_POST(self):
        """Makes a repository, looks at a model card's head, or commits files; only with the token."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return self.answer(401, {"error": "Invalid username or password."})
        steps = self.path.split("?")[0].strip("/").split("/")
        if steps[1:] == ["repos", "create"]:
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.server.repositories:
                return self.answer(409, {"error": "You already created this model repo", "url": self.page(name)})
            self.server.repositories[name] = Repository(asked["visibility"])
            self.server.repositories[name].commit({".gitattributes": b""})
            return self.answer(200, {"url": self.page(name)})
        if steps[1:] == ["validate-yaml"]:
            head = yaml.safe_load(json.loads(body)["content"].split("---\n")[1])
            return self.answer(200 if isinstance(head, dict) else 400, {"errors": []})
        repository = self.server.repositories[model := "/".join(steps[2:4])]
        if steps[4] == "preupload":
            plain = {"uploadMode": "regular", "shouldIgnore": False}
            return self.answer(200, {"files": [{"path": f["path"]} | plain for f in json.loads(body)["files"]]})
        assert steps[4] == "commit"
        files = dict(repository.commits[repository.find("main")])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        name = repository.commit(files)
        return self.answer(200, {"commitUrl": f"{self.page(model)}/commit/{name}", "commitOid": name})


def etag(data):
    """What tells contents apart."""
    return hashlib.sha1(data).hexdigest()


@contextlib.contextmanager
def hub_server(token):
    """A hub that takes uploads with a token; it has `url`, `repositories` by OWNER/NAME, and the files `fetched`."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.token, server.repositories, server.fetched = token, {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
