"""The sentences of a page's running text, and the numbers in them."""

import re

NOT_PROSE = {"eval-rst", "math", "modules", "face", "summaries", "bibliography", "claim-cards"}  # directives
FENCE = re.compile(r"^ *(`{3,}|:{3,}|~{3,})(?:\{([\w:-]+)\}|([^{\s]\S*))?(?: .*)?$")
BEGINS = re.compile(r"^ *(?:[-*+]|\d+\.|:) +")  # an item of a list, or a definition
GLUED = re.compile(r"\{glue:text\}`(?:[^`]*?(\w+)\.ipynb::)?(\w+)(?::([^`]*))?`")  # chapter, name and format
# What is written with digits and counts or measures nothing: a place in the paper or the report, a data set, a version,
# a year, the level of an interval, the shares of a split, and 0 as where nothing differs.
NAMED = re.compile(
    r"(?:\b(?:[Tt]able|[Ff]igure|[Ss]ection|[Ss]et|[Cc]hapter|[Cc]laim)s?|MovieLens|Python|GTX)"
    r" \d+(?:\.\d+)*(?:(?:,| and| to) \d+(?:\.\d+)*\b)*|\b(?:19|20)\d\d\b|\b95 %|\b\d+/\d+\b"
    r"|\b(?:from|below|includes) 0\b(?!\.\d| of)"
)
NUMBER = re.compile(r"(?<![\w.,:-])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w-]|\.\w)")
ENDS = re.compile(r"""(?<=[.!?])(?<!al\.)(?<!e\.g\.)(?<!i\.e\.)["')*_]*\s+(?=["'(*_]*[A-Z\d])""")


def prose_lines(text):
    """The lines of running text; those of tables, code, options and titles of directives, and anchors are empty."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.S)
    text = re.sub(r"^\$\$.*?^\$\$$", "", text, flags=re.M | re.S)
    is_open, after_blank = [], True  # whether each fence around a line holds prose
    for line in text.splitlines():
        fence = FENCE.match(line)
        closes = fence and is_open and not (fence[2] or fence[3])
        is_code = after_blank and line.startswith("    ") and not BEGINS.match(line)
        if closes:
            is_open.pop()
        elif fence and all(is_open):
            is_open.append(bool(fence[2]) and fence[2] not in NOT_PROSE)
        elif all(is_open) and not is_code and not re.match(r" *\||:[\w-]+:|\([\w-]+\)=$", line):
            after_blank = not line.strip()
            yield line
            continue
        yield ""
        after_blank = True


def plain(text):
    """A text as it reads: a link by its words, and one word for each number, reference, formula and piece of code."""
    text = re.sub(r"\{(?:no-term|ref|term)\}`([^`<]+?)(?: <[^`]*>)?`", r"\1", text)
    text = re.sub(r"\{[\w:-]+\}`[^`]*`|(`+)[^`].*?\1|\$[^$\n]+\$", "Word", text, flags=re.S)
    text = re.sub(r"<!--.*?-->|</?\w[^>]*>", " ", text, flags=re.S)
    return re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)


def sentences_of(text):
    """Each sentence of a page in Markdown, in one line; an item of a list and a heading are at least one."""
    blocks, begun = [], False
    for line in prose_lines(text):
        if not begun or BEGINS.match(line) or line.startswith("#"):
            blocks.append("")
        blocks[-1] += BEGINS.sub("", line).lstrip("# ") + "\n"
        begun = bool(line.strip()) and not line.startswith("#")
    return [" ".join(part.split()) for block in blocks for part in ENDS.split(plain(block)) if part.strip()]


def n_words(sentence):
    """How many words a sentence has; signs that stand alone are none."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())


def numbers_of(sentence):
    """The numbers that a sentence writes with digits, but for `NAMED`."""
    return NUMBER.findall(NAMED.sub("", sentence))


def as_read(text, glued, own=""):
    """A page's text with its numbers in place; `glued` gives what a chapter glues, `own` is the page's chapter.

    What has not been glued yet is read as one word or one number, by its format.
    """

    def value(found):
        values, how = glued(found[1] or own), found[3] or ""
        if found[2] not in values:
            return "Word" if how == "s" else "1"
        return format(values[found[2]], how)

    return GLUED.sub(value, text)


def typed(text):
    """(sentence, number) of each number that a page's text has by hand, where it does not say what others have printed.

    That is a paragraph which begins with **Claim.**, or a sentence with a citation.
    """
    text = re.sub(r"^\*\*Claim\.\*\*.*?(?:\n\n|\Z)", "", text, flags=re.M | re.S)
    text = re.sub(r"\{cite:\w\}`[^`]*`", "CITED", text)
    sentences = [sentence for sentence in sentences_of(text) if "CITED" not in sentence]
    return [(sentence, number) for sentence in sentences for number in numbers_of(sentence)]


def decimals_of(text):
    """The numbers with two decimals or more that stand anywhere on a page but in code, formulas and addresses."""
    text = re.sub(r"^( *)(`{3,}|~{3,})(?!\{).*?^\1\2$", "", text, flags=re.M | re.S)
    text = re.sub(r"\{[\w:-]+\}`[^`]*`|(`+)[^`].*?\1|\$[^$\n]+\$|\]\([^)]*\)", " ", text, flags=re.S)
    return re.findall(r"(?<![\w.])\d+\.\d\d+(?!\w|\.\d)", NAMED.sub("", text))
