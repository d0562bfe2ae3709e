"""Makes models with Hugging Face's transformers, and compares models with what Nibble computes of them: see transformers.sh."""

import csv
import json
import pathlib
import re
import sys

import numpy
import safetensors.numpy
import tokenizers
import torch
import transformers

TOLERANCE = 1e-4  # of logits of a few units: FP32 sums in another order
WIDTH, HIDDEN, HEADS, LAYERS, SEQUENCE = 64, 160, 4, 2, 64
CLASSES = {
    "text": transformers.AutoModelForCausalLM,
    "classify": transformers.AutoModelForTokenClassification,  # see docs/encoder.md: there is no pooler
    "tag": transformers.AutoModelForTokenClassification,
}


def lines_of(folder):
    """The lines of all texts of a folder that have some length, with the names of their files."""
    found = []
    for path in sorted(pathlib.Path(folder).glob("*.md")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if len(line.strip()) > 40:
                found.append((path.stem, line.strip()))
    return found


def tag_of(word):
    if any(c.isdigit() for c in word):
        return "B-NUMBER"
    return "B-NAME" if word[0].isupper() else "O"


def byte_pairs(texts):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        tokenizers.trainers.BpeTrainer(
            vocab_size=600,
            show_progress=False,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def word_pieces(texts):
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        texts, tokenizers.trainers.WordPieceTrainer(vocab_size=600, show_progress=False, special_tokens=special)
    )
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special)),
    )


def initial(model):
    """Larger than the usual first weights, and biases and norms that are not 0 and 1: so that each part is seen."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 2:
                parameter.copy_(noise * WIDTH**-0.5)
            else:
                parameter.copy_(noise * 0.2 + (1 if name.endswith("weight") else 0))
    return model


def make(work, docs):
    work = pathlib.Path(work)
    lines = lines_of(docs)
    texts = [line for _, line in lines]
    # words that a space parts, so that a tagger's words are those of the line
    chosen = [re.sub(r"\s+", " ", line) for line in texts[:: max(1, len(texts) // 16)]][:16]
    (work / "texts.txt").write_text("\n".join(chosen) + "\n", encoding="utf-8")
    with open(work / "lines.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("text", "label"))
        for i, line in enumerate(texts[:400]):
            writer.writerow((line, "code" if "`" in line else "prose"))
    with open(work / "words.conll", "w", encoding="utf-8") as file:
        for line in texts[:300]:
            for word in line.split():
                file.write(f"{word}\t{tag_of(word)}\n")
            file.write("\n")
    pairs = byte_pairs(texts)
    pairs.save_pretrained(work / "bpe")
    pieces = word_pieces(texts)
    sizes = {"hidden_act": "gelu", "hidden_size": WIDTH, "intermediate_size": HIDDEN}
    for folder, labels in (("bert", ("code", "prose")), ("bert-tags", ("B-NAME", "B-NUMBER", "O"))):
        config = transformers.BertConfig(
            vocab_size=len(pieces),
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=128,
            id2label=dict(enumerate(labels)),
            label2id={label: i for i, label in enumerate(labels)},
            **sizes,
        )
        initial(transformers.BertForTokenClassification(config)).save_pretrained(work / folder)
        pieces.save_pretrained(work / folder)
    config = transformers.GPT2Config(
        vocab_size=len(pairs), n_positions=2 * SEQUENCE, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_inner=HIDDEN
    )
    initial(transformers.GPT2LMHeadModel(config)).save_pretrained(work / "gpt2")
    pairs.save_pretrained(work / "gpt2")
    sizes["hidden_act"] = "silu"
    config = transformers.LlamaConfig(
        vocab_size=len(pairs), num_hidden_layers=LAYERS, num_attention_heads=HEADS, rms_norm_eps=1e-5, **sizes
    )
    initial(transformers.LlamaForCausalLM(config)).save_pretrained(work / "llama")
    pairs.save_pretrained(work / "llama")
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, tokenizers {tokenizers.__version__}")


def load(kind, folder):
    """A model in FP32. Loading must find each tensor, and use all."""
    model, told = CLASSES[kind].from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    problems = {name: sorted(map(str, keys)) for name, keys in told.items() if keys}
    if problems:
        raise AssertionError(f"loading says {problems}")
    return model.eval()


def difference(kind, model, tokenizer, theirs, lines):
    """The largest difference of all logits, the largest logit, and how many tokens there are, which must be the same."""
    worst = largest = 0.0
    tokens = 0
    for i, line in enumerate(lines):
        expected = theirs[f"ids.{i}"].astype(numpy.int64).tolist()
        # a text is cut off behind so many tokens, a special one at its end included
        limits = {} if kind == "text" else {"truncation": True, "max_length": len(expected)}
        words = {"is_split_into_words": True} if kind == "tag" else {}
        encoded = tokenizer(line.split(" ") if words else line, return_tensors="pt", **limits, **words)
        ids = encoded["input_ids"][:, : len(expected)]
        if ids[0].tolist() != expected:
            raise AssertionError(f"line {i}: tokens {ids[0].tolist()[:12]}..., but {expected[:12]}... in Nibble")
        with torch.no_grad():
            ours = model(input_ids=ids).logits[0].numpy()
        worst = max(worst, float(numpy.abs(ours - theirs[f"logits.{i}"]).max()))
        largest = max(largest, float(numpy.abs(ours).max()))
        tokens += len(expected)
    return worst, largest, tokens


def other_gelu(model, folder):
    """The model with the other form of GELU."""
    config = transformers.AutoConfig.from_pretrained(folder)
    config.activation_function = "gelu" if config.activation_function == "gelu_new" else "gelu_new"
    return type(model).from_pretrained(folder, config=config, dtype=torch.float32).eval()


def compare_one(work, run, kind, folder):
    model = load(kind, folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = safetensors.numpy.load_file(work / f"{run}.safetensors")
    lines = (work / "texts.txt").read_text(encoding="utf-8").splitlines()
    worst, largest, tokens = difference(kind, model, tokenizer, theirs, lines)
    print(f"{run}, {pathlib.Path(folder).name}: {type(model).__name__}, {tokens} tokens of {len(lines)} texts, "
          f"largest logit {largest:.2f}, largest difference {worst:.1e}")
    if not (tokens and worst <= TOLERANCE):
        raise AssertionError(f"logits differ by {worst:.1e}, but at most {TOLERANCE:.0e} is right")
    if run == "from-gpt2":  # its weights are large enough for the forms of GELU to be told apart
        control = difference(kind, other_gelu(model, folder), tokenizer, theirs, lines)[0]
        print(f"{run}: {control:.1e} with the other GELU")
        if not control > TOLERANCE:
            raise AssertionError("the other GELU is not seen")
    if kind == "text":
        generate(work, run, model, tokenizer)


def generate(work, run, model, tokenizer):
    told = json.loads((work / f"{run}.json").read_text(encoding="utf-8"))
    encoded = tokenizer(told["prompt"], return_tensors="pt")
    count = encoded["input_ids"].shape[1]
    tokens = model.generate(**encoded, max_new_tokens=24, do_sample=False)[0, count:].tolist()
    text = tokenizer.decode(tokens, skip_special_tokens=False)
    print(f"{run}: goes on with {len(set(tokens))} different tokens of {len(tokens)}, {text[:60]!r}")
    if tokens != told["tokens"] or text != told["text"]:
        raise AssertionError(f"transformers go on with {tokens}, but Nibble with {told['tokens']}, {told['text']!r}")


def compare(work):
    work = pathlib.Path(work)
    failed = []
    for line in (work / "compare.tsv").read_text(encoding="utf-8").splitlines():
        run, kind, folder = line.split("\t")
        try:
            compare_one(work, run, kind, folder)
        except Exception as error:  # each of the others is compared, too
            failed.append(run)
            print(f"{run}: FAILED: {error}")
    print(f"differ: {', '.join(failed)}" if failed else "all the same")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    {"make": make, "compare": compare}[sys.argv[1]](*sys.argv[2:])
