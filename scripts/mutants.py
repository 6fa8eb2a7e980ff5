# SPDX-License-Identifier: Apache-2.0
"""Small faults for scripts/mutate: all that can be planted in a C file, and that file with all of them in it at once."""
import bisect
import collections
import hashlib
import re

TOKEN = re.compile(r"""
    (?P<skip>\s+|//[^\n]*|/\*.*?\*/|^[ \t]*\#(?:\\\n|[^\n])*)
  | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
  | (?P<number>(?:0[xX][0-9a-fA-F]+|\d+)[uUlL]*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<sign><<=|>>=|<<|>>|<=|>=|==|!=|&&|\|\||->|\+\+|--|[-+*/%&|^]=|\.\.\.|.)
""", re.VERBOSE | re.DOTALL | re.MULTILINE)
Token = collections.namedtuple("Token", "kind text start end")

COMPARISONS = {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)}
LOGIC = {"&&": "||", "||": "&&"}
ONLY_TEXT = re.compile(r"ESP_LOG[EWIDV]|_Static_assert|snprintf")  # their arguments change nothing that is written
RETURNS_ERROR = re.compile(r"\besp_err_t\s+(?:\(\*)?(\w+)\)?\(")
FUNCTION = re.compile(r"^[A-Za-z_][^\n;=]*?\b(\w+)\([^;]*?\)\s*\{", re.MULTILINE)


class Mutant(collections.namedtuple("Mutant", "file function line last kind before after start end new again")):
    """A fault: bytes from start to end of the file become new. before and after are the lines, for people and as a name; again
    counts those of a function that look the same."""

    @property
    def name(self):
        """16 hexadecimal digits, which stay as they are when lines move."""
        which = (self.file, self.function, self.before, self.after, *([str(self.again)] if self.again else []))
        return hashlib.sha256("\0".join(which).encode()).hexdigest()[:16]

    @property
    def place(self):
        """As test/mutants.txt names it."""
        return self.file, self.function, self.before, self.after

    def __str__(self):
        return f"{self.file}:{self.line} {self.function}(), {self.kind}\n- {self.before}\n+ {self.after}"


def tokens_of(text):
    return [Token(match.lastgroup, match.group(), match.start(), match.end())
            for match in TOKEN.finditer(text) if match.lastgroup != "skip"]


def pairs_of(tokens):
    """Index of the other bracket, for each bracket."""
    pairs, stack = {}, []
    for i, token in enumerate(tokens):
        if token.kind == "sign" and token.text in "([{":
            stack.append(i)
        elif token.kind == "sign" and token.text in ")]}" and stack:
            other = stack.pop()
            pairs[i], pairs[other] = other, i
    return pairs


def blocks_of(tokens):
    """(first token, opening brace, closing brace) of each function and initialized array outside of functions."""
    pairs, blocks, i, first = pairs_of(tokens), [], 0, 0
    while i < len(tokens):
        if tokens[i].kind == "sign" and tokens[i].text == "{":
            close = pairs[i]
            if tokens[i - 1].text in (")", "="):  # of another one a type begins
                blocks.append((first, i, close))
                first = close + 1
            i = close
        elif tokens[i].kind == "sign" and tokens[i].text == ";":
            first = i + 1
        i += 1
    return blocks


class Generator:
    """All faults of one file, but for those in types and macros."""

    def __init__(self, file, text, error_functions):
        self.file, self.text = file, text
        self.errors = error_functions | set(RETURNS_ERROR.findall(text))
        self.tokens = tokens_of(text)
        self.pairs = pairs_of(self.tokens)
        self.lines = [0] + [match.end() for match in re.finditer("\n", text)]
        self.functions = [(match.start(), match.group(1)) for match in FUNCTION.finditer(text)]
        self.mutants, self.looks = [], collections.Counter()

    def at(self, i):
        return self.tokens[i].text if 0 <= i < len(self.tokens) else ""

    def line_of(self, offset):
        return bisect.bisect_right(self.lines, offset)

    def add(self, kind, start, end, new):
        line, last = self.line_of(start), self.line_of(end - 1)
        begin, stop = self.lines[line - 1], self.lines[last] if last < len(self.lines) else len(self.text)
        new += "\n" * (self.text.count("\n", start, end) - new.count("\n"))  # the lines that follow keep their numbers
        before, after = (" ".join(text.split()) for text in (
            self.text[begin:stop], self.text[begin:start] + new + self.text[end:stop]))
        function = next((name for place, name in reversed(self.functions) if place <= start), "")
        looks = (function, before, after)
        self.mutants.append(Mutant(self.file, function, line, last, kind, before, after, start, end, new, self.looks[looks]))
        self.looks[looks] += 1

    def number(self, i):
        token = self.tokens[i]
        digits = token.text.rstrip("uUlL")
        value, suffix = int(digits, 16 if digits[:2] in ("0x", "0X") else 10), token.text[len(digits):]
        size_of_array = self.at(i - 1) == "[" and self.at(i + 1) == "]" and self.at(i + 2) in (";", "=", ",", ")", "[")
        if size_of_array or (self.at(i - 1) == "{" and self.at(i + 1) == "}"):
            return
        for other in (value + 1, value - 1):
            if other >= 0:
                self.add("constant", token.start, token.end, (hex(other) if digits[:2] in ("0x", "0X") else str(other)) + suffix)

    def condition(self, i):
        """if (...) and while (...); a comparison alone is turned around elsewhere."""
        close = self.pairs.get(i + 1)
        if close is None:
            return
        inside = [token.text for token in self.tokens[i + 2:close]]
        if not any(text in COMPARISONS for text in inside) or any(text in LOGIC for text in inside):
            start, end = self.tokens[i + 1].start, self.tokens[close].end
            self.add("negated", start, end, f"(!{self.text[start:end]})")

    def callee(self, i):
        """Index of the first token of a->b.c in a call of c."""
        while self.at(i - 1) in ("->", "."):
            i -= 2
            while self.at(i) == "]":
                i = self.pairs[i] - 1
        return i

    def call(self, i):
        close, first = self.pairs.get(i + 1), self.callee(i)
        previous = self.at(first - 1)
        declared = first > 0 and (self.tokens[first - 1].kind == "name" and previous not in ("return", "else") or previous == "*")
        if close is None or declared:
            return
        start, end = self.tokens[first].start, self.tokens[close].end
        if self.tokens[i].text in self.errors:
            self.add("not called", start, end, "((esp_err_t)ESP_OK)")
            self.add("error dropped", start, end, f"((void){self.text[start:end]}, (esp_err_t)ESP_OK)")
        elif self.at(close + 1) == ";" and previous in (";", "{", "}"):
            self.add("not called", start, end, "(void)0")

    def run(self):
        i = 0
        while i < len(self.tokens):
            token = self.tokens[i]
            if token.kind == "name" and self.at(i + 1) == "(":
                if ONLY_TEXT.fullmatch(token.text):
                    i = self.pairs.get(i + 1, i + 1)
                elif token.text in ("if", "while"):
                    self.condition(i)
                else:
                    self.call(i)
            elif token.kind == "number":
                self.number(i)
            elif token.text in COMPARISONS and token.kind == "sign":
                for other in COMPARISONS[token.text]:
                    self.add("comparison", token.start, token.end, other)
            elif token.text in LOGIC and token.kind == "sign":
                self.add("logic", token.start, token.end, LOGIC[token.text])
            i += 1
        places = [(self.tokens[brace].start, self.tokens[close].end) for _, brace, close in blocks_of(self.tokens)]
        return [mutant for mutant in self.mutants if any(start <= mutant.start and mutant.end <= end for start, end in places)]


def error_functions(root):
    found = set()
    for folder in ("src", "include", "sim/idf/include"):
        for path in sorted((root / folder).rglob("*.h")):
            found.update(RETURNS_ERROR.findall(path.read_text("utf-8")))
    return found


def all_mutants(root, folders):
    errors = error_functions(root)
    return [mutant for folder in folders for path in sorted((root / folder).rglob("*.c"))
            for mutant in Generator(path.relative_to(root).as_posix(), path.read_text("utf-8"), errors).run()]



# All faults of a file in it at once.

SWITCH = """
__attribute__((weak)) unsigned long long sr_mutant;
static __attribute__((constructor)) void sr_choose_mutant(void)
{
    extern char *getenv(const char *);
    extern unsigned long long strtoull(const char *, char **, int);
    const char *name = getenv("SR_MUTANT");
    sr_mutant = name ? strtoull(name, 0, 16) : 0;
}
"""


def planted(text, place, mutant):
    """The text of a block with a fault in it; errors of the compiler tell of which fault."""
    start, end = place
    return (f'\n#line 1 "mutant-{mutant.name}"\n{text[start:mutant.start]}{mutant.new}{text[mutant.end:end]}'
            '\n#line 1 "sound"\n')


def function_with(text, place, mutants):
    """The body of a function once for each fault, and once without: no label and no static variable is shared."""
    cases = "".join(f"case 0x{mutant.name}ull: {planted(text, place, mutant)} break;" for mutant in mutants)
    return "{ extern unsigned long long sr_mutant; switch (sr_mutant) {" + cases + "default: " + text[place[0]:place[1]] + "}}"


def table_with(text, tokens, block, mutants):
    """An initialized array or structure: it becomes writable, and takes the contents with the fault before main()."""
    first, brace, close = block
    head = text[tokens[first].start:tokens[brace].start]
    name = re.search(r"(\w+)\s*(\[[^=]*\])?\s*=\s*$", head)[1]
    changeable = re.sub(r"\b(const|static)\b", "", head)
    place = (tokens[brace].start, tokens[close].end)
    own = re.sub(rf"\b{name}\b", f"sr_changeable_{name}", changeable)
    told = f"static {own}{text[place[0]:place[1]]};"
    is_static = re.search(r"\bstatic\b", head)
    kind = f"{'static' if is_static else 'extern'} __typeof__(sr_changeable_{name})"
    told += f"\n{kind} {'' if is_static else 'const '}{name} __attribute__((alias(\"sr_changeable_{name}\")));"
    for mutant in mutants:
        told += (f"\nstatic __attribute__((constructor)) void sr_change_{mutant.name}(void) {{ sr_choose_mutant();"
                 f"if (sr_mutant == 0x{mutant.name}ull) {{ __typeof__(sr_changeable_{name}) changed = "
                 f"{planted(text, place, mutant)}; __builtin_memcpy((void *)&sr_changeable_{name}, &changed, sizeof(changed)); }} }}")
    return told


def with_all(text, mutants):
    """Source of a file that has all these faults, of which the environment variable SR_MUTANT chooses one by its name."""
    tokens, done, at = tokens_of(text), [], 0
    for block in blocks_of(tokens):
        first, brace, close = block
        start, end = tokens[brace].start, tokens[close].end
        inside = [mutant for mutant in mutants if start <= mutant.start and mutant.end <= end]
        if not inside:
            continue
        if tokens[brace - 1].text == ")":
            done += [text[at:start], function_with(text, (start, end), inside)]
        else:
            done += [text[at:tokens[first].start], table_with(text, tokens, block, inside)]
            end = tokens[close + 1].end  # its semicolon
        at = end
    return SWITCH + "".join(done) + text[at:]
