"""What the programs read from a folder, as one line: run with a program's name and a folder or a file.

    python engines.py transformers|llama.cpp|safetensors|gguf|random PATH [ORIGINAL]
"""
import hashlib, mmap, os, random, sys


def run_transformers(folder):
    import torch, transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    causal = "CausalLM" in (config.architectures or [""])[0]
    loader = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
    model = loader.from_pretrained(folder).eval()
    with torch.no_grad():
        out = model(torch.arange(1, 33).reshape(1, 32), output_hidden_states=True).hidden_states[-1]
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    tokens = ""
    if os.path.exists(os.path.join(folder, "tokenizer.json")):
        tokens = transformers.AutoTokenizer.from_pretrained(folder)("moving weights").input_ids
    return f"{digest.hexdigest()} {out.double().sum().item():.9f} {tokens}"


def run_llama_cpp(path):
    """Sixteen tokens of llama.cpp: of llama-cpp-python, or of xllamacpp, which PyPI has as a wheel."""
    try:
        from llama_cpp import Llama
    except ImportError:
        import xllamacpp

        parameters = xllamacpp.CommonParams()
        parameters.model.path = path
        parameters.n_ctx, parameters.n_parallel, parameters.warmup = 64, 1, False
        parameters.cpuparams.n_threads = 2
        parameters.verbosity = 0
        server = xllamacpp.Server(parameters)
        answer = server.handle_completions(
            {"prompt": "moving weights", "max_tokens": 16, "temperature": 0, "logprobs": 1, "ignore_eos": True})
        choice = answer["choices"][0]
        chosen = [(token.get("id"), token.get("logprob")) for token in (choice.get("logprobs") or {}).get("content", [])]
        return f"xllamacpp {choice['text']!r} {chosen}"
    model = Llama(path, n_ctx=64, n_threads=2, verbose=False, logits_all=True)
    answer = model("moving weights", max_tokens=16, temperature=0, logprobs=1)
    return f"llama_cpp {answer['choices'][0]['text']!r} {answer['choices'][0]['logprobs']['token_logprobs']}"


def run_safetensors(path):
    from safetensors.torch import load_file
    import torch

    digest = hashlib.sha256()
    for name, value in sorted(load_file(path).items()):
        digest.update(name.encode() + value.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def run_gguf(path):
    """The reader of gguf-py, which maps the file."""
    import gguf

    digest = hashlib.sha256()
    for tensor in gguf.GGUFReader(path).tensors:
        digest.update(tensor.name.encode() + tensor.data.tobytes())
    return digest.hexdigest()


def run_random(path, original, rounds=1500):
    """Reads and mapped reads at random places agree with the original, as those of fsx do."""
    with open(original, "rb") as file:
        expected = file.read()
    source, count = random.Random(len(expected)), 0
    file = os.open(path, os.O_RDONLY)
    size = os.fstat(file).st_size
    assert size == len(expected), f"{path}: {size} bytes, expected {len(expected)}"
    mapped = mmap.mmap(file, 0, prot=mmap.PROT_READ) if size else b""
    for step in range(rounds):
        if step % 50 == 0:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        offset = source.randrange(size + 4096)
        length = source.choice([1, 7, 512, 4096, 70_000, source.randrange(3 << 20)])
        got = os.pread(file, length, offset) if step % 2 else mapped[offset:offset + length]
        assert got == expected[offset:offset + length], f"{path}: {length} bytes at {offset} differ"
        count += len(got)
    os.close(file)
    return f"{rounds} reads, {count} bytes"


RUNS = {
    "transformers": run_transformers, "llama.cpp": run_llama_cpp, "safetensors": run_safetensors, "gguf": run_gguf,
    "random": run_random}

if __name__ == "__main__":
    print("RESULT " + RUNS[sys.argv[1]](*sys.argv[2:]))
    sys.stdout.flush()
    os._exit(0)  # Some engines end slowly.
