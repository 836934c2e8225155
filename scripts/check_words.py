#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check that the tree does without words that hid what vigil does.

    check_words.py FILE...

A word counts wherever a name or a text has it: alone, in the plural, or as one part of
a snake_case or CamelCase name; also in the file's own name. Comments count in src/ only.
"""

import pathlib
import re
import sys

# The only list. `heartbeat` is the kernel's own word, and one word.
LIST = pathlib.Path(__file__).with_name("words.list")
WORDS = LIST.read_text(encoding="utf-8").split()
FORBIDDEN = {form for word in WORDS for form in (word, word + "s", word + "es", word + "ed")}

# They name the words.
EXEMPT = {"scripts/words.list", "scripts/check_words_test.py"}

PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
COMMENTS = {
    ".rs": re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL),
    ".c": re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.DOTALL),
    # A script; `$#` and `${name#word}` are no comments.
    "": re.compile(r"()(?:^|(?<=\s))#[^\n]*", re.MULTILINE),
}
COMMENTS[".h"], COMMENTS[".py"], COMMENTS[".sh"] = COMMENTS[".c"], COMMENTS[""], COMMENTS[""]
# Their text is what a user reads: `make help` prints the Makefile's comments.
WHOLE = {"Makefile"}


def without_comments(name, text):
    """The text with its comments blanked out, and as many lines."""
    path = pathlib.Path(name)
    comments = COMMENTS.get(path.suffix)
    if name.startswith("src/") or path.name in WHOLE or not comments:
        return text
    return comments.sub(lambda match: match[1] or re.sub(r"[^\n]", " ", match[0]), text)


def words_of(text):
    """The lower-case words of a text, names taken apart."""
    return [part.lower() for part in PART.findall(re.sub(r"\\[nrt0]", " ", text))]


def problems(name, text):
    """What to say of a file: a line for each line of it with such words."""
    said = []
    lines = [(0, name), *enumerate(without_comments(name, text).splitlines(), 1)]
    for number, line in lines:
        found = sorted(FORBIDDEN.intersection(words_of(line)))
        if found:
            said.append(f"{name}:{number}: {', '.join(found)}: {line.strip()}" if number else f"{name}: {found[0]}")
    return said


def main(names):
    said = []
    for name in names:
        # One that is removed is tracked until that is committed.
        if name not in EXEMPT and pathlib.Path(name).exists():
            text = pathlib.Path(name).read_text(encoding="utf-8", errors="replace")
            said += problems(name, text)
    if said:
        print("\n".join(said))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
