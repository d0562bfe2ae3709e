#!/usr/bin/env python3
"""What PyTorch does on the same GPU, as the benchmarks of run.sh compare with it.

    torch_baselines.py [--steps MODEL,...] [--kinds KIND,...] [--no-products] [--seconds SECONDS]

Prints lines NAME=MILLISECONDS, each the median of several measurements:

    gemm.M.N.K            BF16 product, from a CUDA graph over rotated random operands that outgrow the cache
    step.MODEL.bf16       training step, torch.compile, all of it BF16, fused AdamW
    step.MODEL.mixed      the same with FP32 parameters and moments under BF16 autocast
    step.MODEL.eager      the first without torch.compile; only if asked for
    graph.MODEL.KIND      the same step replayed from one CUDA graph: forward, backward, AdamW

and first a line each for torch, cuda and device. Where a step cannot be captured, uncaptured.MODEL.KIND tells why. What is compared with a floor comes first; a step that would probably not end within
SECONDS, going by the longest so far, is left out, and a comment says so.
"""
import argparse
import contextlib
import statistics
import time

import torch
from torch.nn import functional

CACHE = 150_000_000  # bytes that no operand survives in the cache

PRODUCTS = [
    (8192, 8192, 8192),
    (4096, 4096, 4096),
    (8192, 2048, 2048),
    (8192, 4096, 14336),
    (16384, 3072, 768),
]

# layers, width, heads, hidden, vocabulary, sequences, tokens of a sequence: as in TrainingStep.java
MODELS = {
    "124M": (12, 768, 12, 2048, 50304, 16, 1024),
    "1.0B": (16, 2048, 16, 5632, 50304, 8, 1024),
    "2.4B-wide": (8, 4096, 32, 14336, 50304, 4, 2048),
}


def elapsed(work, count):
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / count


def product(m, n, k):
    sets = max(2, -(-CACHE // (2 * (m + n) * k)))
    pairs = [
        (torch.randn(m, k, device="cuda").bfloat16(), torch.randn(n, k, device="cuda").bfloat16()) for _ in range(sets)
    ]

    def all_pairs():
        for x, w in pairs:
            x @ w.t()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        all_pairs()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        all_pairs()
    for _ in range(3):
        graph.replay()
    torch.cuda.synchronize()
    return statistics.median(elapsed(graph.replay, sets) for _ in range(9))


class Attention(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = torch.nn.Linear(width, 3 * width, bias=False)
        self.out = torch.nn.Linear(width, width, bias=False)

    def forward(self, x):
        batch, tokens, width = x.shape
        q, k, v = self.qkv(x).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, width))


class SwiGlu(torch.nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.gate = torch.nn.Linear(width, hidden, bias=False)
        self.up = torch.nn.Linear(width, hidden, bias=False)
        self.down = torch.nn.Linear(hidden, width, bias=False)

    def forward(self, x):
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class Decoder(torch.nn.Module):
    def __init__(self, layers, width, heads, hidden, vocabulary):
        super().__init__()
        self.table = torch.nn.Embedding(vocabulary, width)
        self.branches = torch.nn.ModuleList(
            branch for _ in range(layers) for branch in (Attention(width, heads), SwiGlu(width, hidden))
        )
        self.norms = torch.nn.ModuleList(torch.nn.RMSNorm(width) for _ in range(2 * layers + 1))
        self.head = torch.nn.Linear(width, vocabulary, bias=False)

    def forward(self, ids, targets):
        x = self.table(ids)
        for norm, branch in zip(self.norms, self.branches):
            x = x + branch(norm(x))
        logits = self.head(self.norms[-1](x))
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def captured(forward, optimizer):
    """A graph of one step. Gradients are absent when it is captured, so that each replay writes them, and adds to none."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            optimizer.zero_grad(set_to_none=True)
            forward().backward()
            optimizer.step()
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad(set_to_none=True)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward().backward()
        optimizer.step()
    for _ in range(2):
        graph.replay()
    torch.cuda.synchronize()
    return graph


def step(name, kind, steps=4, repeats=3):
    """Prints what a step takes, launched kernel by kernel and from a graph."""
    layers, width, heads, hidden, vocabulary, batch, tokens = MODELS[name]
    torch._dynamo.reset()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with torch.device("cuda"):
        model = Decoder(layers, width, heads, hidden, vocabulary)
        ids = torch.randint(0, vocabulary, (batch, tokens))
        targets = torch.randint(0, vocabulary, (batch, tokens))
    if kind != "mixed":
        model = model.bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True, capturable=True)
    compiled = model if kind == "eager" else torch.compile(model)
    context = torch.autocast("cuda", torch.bfloat16) if kind == "mixed" else contextlib.nullcontext()

    def forward():
        with context:
            return compiled(ids, targets)

    def one():
        forward().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def median(work):
        return statistics.median(elapsed(lambda: [work() for _ in range(steps)], steps) for _ in range(repeats))

    for _ in range(4):
        one()
    torch.cuda.synchronize()
    print(f"step.{name}.{kind}={median(one):.3f}", flush=True)
    print(f"memory.{name}.{kind}={torch.cuda.max_memory_allocated()}", flush=True)
    try:
        graph = captured(forward, optimizer)
        print(f"graph.{name}.{kind}={median(graph.replay):.3f}", flush=True)
    except RuntimeError as failure:
        print(f"uncaptured.{name}.{kind}={str(failure).splitlines()[0]}", flush=True)


def main():
    begin = time.time()
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--steps", default=",".join(MODELS))
    arguments.add_argument("--no-products", action="store_true")
    arguments.add_argument("--kinds", default="bf16,mixed")
    arguments.add_argument("--seconds", type=float, default=float("inf"))
    options = arguments.parse_args()
    torch.manual_seed(0)
    print(f"torch={torch.__version__}\ncuda={torch.version.cuda}\ndevice={torch.cuda.get_device_name()}", flush=True)
    if not options.no_products:
        for m, n, k in PRODUCTS:
            print(f"gemm.{m}.{n}.{k}={product(m, n, k):.5f}", flush=True)
    longest = 0.0
    for kind in options.kinds.split(","):
        for name in filter(None, options.steps.split(",")):
            start = time.time()
            if start - begin + longest > options.seconds:
                print(f"# no time for {name} {kind}", flush=True)
                continue
            step(name, kind)
            seconds = time.time() - start
            longest = max(longest, seconds)
            print(f"seconds.{name}.{kind}={seconds:.1f}", flush=True)


if __name__ == "__main__":
    main()
