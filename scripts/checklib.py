# SPDX-License-Identifier: BSD-3-Clause
"""What the static checks (scripts/check-*) share: which files there are, C without comments, and the frame of a check program.

A check is a function from a root folder to lines 'file:line: what is wrong; what to do'. Run without arguments it checks this repository
and exits 1 when there is a line. With --self-test it checks planted trees: the ones in PLANTS must each give a line that contains the given
words, the innocent one must give none; so we know that the check can fail.
"""
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SKIPPED = {".git", "build", "__pycache__"}


def files(root, *suffixes):
    """Paths below root, relative to it, that git does not ignore; with one of the suffixes when some are given."""
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    if listed.returncode == 0 and os.path.exists(os.path.join(root, ".git")):
        found = listed.stdout.splitlines()
    else:
        found = walk(root)
    return sorted(path for path in found if os.path.isfile(os.path.join(root, path)) and (not suffixes or path.endswith(suffixes)))


def walk(root):
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def without_comments(text):
    """C text with comments and the insides of strings blanked out, every line where it was."""
    def blank(found):
        kept = re.sub(r"[^\n]", " ", found[0])
        return '"' + kept[2:] + '"' if found[0].startswith('"') and len(found[0]) > 1 else kept
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def plant(tree):
    """A temporary folder with the files of tree, {path: content}."""
    folder = tempfile.TemporaryDirectory(prefix="sluice-check-")
    for path, content in tree.items():
        full = os.path.join(folder.name, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as file:
            file.write(content)
    return folder


def self_test(check, plants, innocent):
    bad = 0
    for tree, words in plants:
        with plant(tree) as folder:
            said = list(check(folder))
        if not any(words in line for line in said):
            print(f"{sys.argv[0]}: misses a planted violation: {words!r} is not in {said}")
            bad += 1
    with plant(innocent) as folder:
        for line in check(folder):
            print(f"{sys.argv[0]}: wrongly says of an innocent file: {line}")
            bad += 1
    return bad


def main(check, plants, innocent):
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(1 if self_test(check, plants, innocent) else 0)
    if sys.argv[1:]:
        sys.exit(f"usage: {sys.argv[0]} [--self-test]")
    count = 0
    for line in check(ROOT):
        print(line)
        count += 1
    sys.exit(1 if count else 0)
