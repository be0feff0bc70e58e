"""Uses a server as the real Python client of the Hugging Face Hub does, and compares every byte with the source.

    HF_ENDPOINT=http://127.0.0.1:8000 hub-client.py MODEL SOURCE WORK

MODEL is the model's name at the server, SOURCE the directory it was imported from, WORK an empty directory. The model
has the refs `main` and `prod` and one version. Prints a line a check; the first that fails ends it. With transformers and
PyTorch, and without a token, it also loads the model.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

model, source, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
endpoint = os.environ["HF_ENDPOINT"]
os.environ["HF_HOME"] = str(work / "home")
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
# transformers would ask a public service to convert a model without safetensors files.
os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"

from huggingface_hub import HfApi, HfFileSystem, hf_hub_download, hf_hub_url, snapshot_download  # noqa: E402
from huggingface_hub.errors import (  # noqa: E402
    EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError,
)

from huggingface_hub.file_download import http_get  # noqa: E402


def digest(path):
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            hasher.update(piece)
    return hasher.hexdigest()


def files(directory):
    return {
        str(path.relative_to(directory)): digest(path)
        for path in sorted(Path(directory).rglob("*"))
        if path.is_file() and ".cache" not in path.parts
    }


def sent():
    """Bytes of bodies that the server has sent so far: each reading is some ten kB itself."""
    request = urllib.request.Request(endpoint + "/metrics")
    if token := os.environ.get("HF_TOKEN"):
        request.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(request) as response:
        for line in response.read().decode().splitlines():
            if line.startswith("weightstore_http_bytes_sent_total "):
                return int(line.split()[1])


def raises(error, call, *arguments, **options):
    try:
        call(*arguments, **options)
    except error as found:
        # An error of its own kind, not one that says that the cache lacks the file, which would hide the cause.
        assert not isinstance(found, LocalEntryNotFoundError), repr(found)
        return found
    raise AssertionError(f"{error.__name__} was not raised")


def check(what):
    print(what, flush=True)


api = HfApi()
original = files(source)
commit = api.model_info(model).sha
assert len(commit) == 40

check("hf_hub_download")
for name, expected in original.items():
    path = hf_hub_download(model, name)
    assert digest(path) == expected, name
    assert f"/snapshots/{commit}/" in path
blobs = {path.name for path in (work / "home").rglob("blobs/*")}

check("the cache names blobs as git and LFS do")
for name, expected in original.items():
    data = (source / name).read_bytes()
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    assert (expected if name.endswith(".safetensors") else git) in blobs, name

check("a second download fetches nothing")
before = sent()
for name in original:
    hf_hub_download(model, name)
assert sent() - before < 100_000, sent() - before

check("snapshot_download")
whole = snapshot_download(model, cache_dir=work / "whole")
assert files(whole) == original
before = sent()
assert snapshot_download(model, cache_dir=work / "whole") == whole
assert sent() - before < 100_000, sent() - before

check("snapshot_download with patterns, and at every kind of revision")
part = snapshot_download(model, cache_dir=work / "part", allow_patterns=["*.json", "*/*.json"])
assert files(part) == {name: value for name, value in original.items() if name.endswith(".json")}
rest = snapshot_download(model, cache_dir=work / "part", ignore_patterns=["*.json"])
assert files(rest) == original
for revision in ["main", "prod", "v1", commit]:
    config = hf_hub_download(model, "config.json", revision=revision, cache_dir=work / "revisions")
    assert digest(config) == original["config.json"], revision
    assert snapshot_download(model, revision=revision, cache_dir=work / "part", allow_patterns="*.txt").endswith(commit)
local = snapshot_download(model, local_dir=work / "local")
assert files(local) == original

check("an interrupted download resumes")
weights = source / "model.safetensors"
size = weights.stat().st_size
before = sent()
with open(work / "resumed", "wb") as file:
    file.write(weights.read_bytes()[: size // 2])
    http_get(hf_hub_url(model, weights.name), file, resume_size=size // 2, expected_size=size, headers=api._build_hf_headers())
assert digest(work / "resumed") == original[weights.name]
assert sent() - before < size // 2 + 100_000, sent() - before

check("model_info")
info = api.model_info(model, files_metadata=True)
assert info.id == model and info.sha == commit
assert {sibling.rfilename: sibling.size for sibling in info.siblings} == {
    name: (source / name).stat().st_size for name in original
}
sibling = next(sibling for sibling in info.siblings if sibling.rfilename == weights.name)
assert sibling.lfs.sha256 == original[weights.name] and sibling.lfs.size == sibling.size
assert "safetensors" in info.tags and info.last_modified.year >= 2024
assert api.model_info(model, revision="v1", expand=["downloads", "sha"]).sha == commit
assert api.model_info(model, securityStatus=True).sha == commit

check("listings")
assert sorted(api.list_repo_files(model)) == sorted(original)
top = list(api.list_repo_tree(model, expand=True))
assert {entry.path for entry in top} == {name.split("/")[0] for name in original}
assert all(entry.last_commit.oid == commit for entry in top)
folder = next(name.split("/")[0] for name in original if "/" in name)
assert all(entry.path.startswith(folder + "/") for entry in api.list_repo_tree(model, folder))
described = api.get_paths_info(model, ["config.json", folder, "model.safetensors", "not-there"], expand=True)
assert sorted(entry.path for entry in described) == sorted(["config.json", folder, "model.safetensors"])
refs = api.list_repo_refs(model)
assert {ref.name: ref.target_commit for ref in refs.branches} == {"main": commit, "prod": commit}
assert [tag.name for tag in refs.tags] == ["~1"]
assert [entry.commit_id for entry in api.list_repo_commits(model)] == [commit]
assert [entry.id for entry in api.list_models(search=model.split("/")[-1].upper())] == [model]
assert model in [entry.id for entry in api.list_models(author=model.split("/")[0], sort="downloads", limit=5)]
assert list(api.list_models(search="no-such-model")) == []
assert not api.verify_repo_checksums(model, local_dir=local).mismatches
api.auth_check(model)
assert list(api.get_repo_discussions(model)) == []

check("HfFileSystem")
filesystem = HfFileSystem()
assert {path.removeprefix(model + "/") for path in filesystem.find(model)} == set(original)
assert filesystem.info(f"{model}/config.json")["size"] == (source / "config.json").stat().st_size
with filesystem.open(f"{model}/model.safetensors", block_size=1 << 20) as file:
    file.seek(size - 1000)
    assert file.read() == (source / "model.safetensors").read_bytes()[-1000:]

check("get_safetensors_metadata")
metadata = api.get_safetensors_metadata(model)
tensors = metadata.files_metadata["model.safetensors"].tensors
assert len(tensors) > 10 and not metadata.sharded
assert sum(tensor.data_offsets[1] - tensor.data_offsets[0] for tensor in tensors.values()) < size

check("what exists")
assert api.repo_exists(model) and not api.repo_exists("no/such") and not api.repo_exists("nosuch")
assert api.revision_exists(model, "prod") and not api.revision_exists(model, "nope")
assert api.file_exists(model, "config.json") and not api.file_exists(model, "nope.json")
assert not api.file_exists("no/such", "config.json")

check("the client's own exceptions")
raises(RepositoryNotFoundError, hf_hub_download, "no/such", "config.json")
raises(RepositoryNotFoundError, snapshot_download, "no/such")
raises(RepositoryNotFoundError, api.model_info, "nosuch")
raises(RepositoryNotFoundError, api.dataset_info, model)
raises(RevisionNotFoundError, hf_hub_download, model, "config.json", revision="nope")
raises(RevisionNotFoundError, snapshot_download, model, revision="nope")
raises(RevisionNotFoundError, api.model_info, model, revision="f" * 40)
raises(EntryNotFoundError, hf_hub_download, model, "nope.json")
raises(EntryNotFoundError, lambda: list(api.list_repo_tree(model, "nope")))
assert list((work / "home").rglob(f".no_exist/{commit}/nope.json"))

check("hf download")
command = [str(Path(sys.executable).parent / "hf"), "download", model, "--local-dir", str(work / "command")]
run = subprocess.run(command, capture_output=True, text=True)
assert run.returncode == 0, run.stderr
assert files(work / "command") == original

if not os.environ.get("HF_TOKEN") and all(importlib.util.find_spec(name) for name in ["torch", "transformers"]):
    check("transformers")
    import torch
    from transformers import AutoModel, AutoTokenizer

    loaded, local = (AutoModel.from_pretrained(place).state_dict() for place in [model, str(source)])
    assert loaded.keys() == local.keys() and all(torch.equal(loaded[name], local[name]) for name in local)
    words = "moving weights, a hub and a memory"
    tokens = [AutoTokenizer.from_pretrained(place)(words)["input_ids"] for place in [model, str(source)]]
    assert tokens[0] == tokens[1]

if token := os.environ.get("HF_TOKEN"):
    check("the token")
    assert api.whoami()["auth"]["accessToken"]["role"] == "read"
    for wrong in ["hf_wrong", False]:
        found = raises(HfHubHTTPError, HfApi(token=wrong).model_info, model)
        assert found.response.status_code == 401
        assert token not in str(found)

check("done")
