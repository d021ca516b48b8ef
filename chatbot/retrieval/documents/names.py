"""Which format a file is in, by its name. Reads nothing, and imports no format."""

import re
from typing import Final, Literal

from chatbot.retrieval.documents.limits import MAX_FILE_BYTES, MAX_TEXT_BYTES

Format = Literal[
    "markdown",
    "text",
    "restructured_text",
    "code",
    "html",
    "pdf",
    "word",
    "epub",
    "slides",
    "sheets",
    "opendocument",
    "rtf",
    "notebook",
    "mail",
]

_FORMATS: Final[dict[str, tuple[Format, str]]] = {
    **dict.fromkeys(
        ("md", "markdown", "mdown", "mkd", "mdx", "qmd", "rmd"), ("markdown", "Markdown")
    ),
    **dict.fromkeys(("rst", "rest"), ("restructured_text", "reStructuredText")),
    **dict.fromkeys(("htm", "html", "xhtml"), ("html", "HTML")),
    "pdf": ("pdf", "PDF"),
    **dict.fromkeys(("docx", "docm", "dotx"), ("word", "Word")),
    **dict.fromkeys(("pptx", "pptm", "ppsx", "potx"), ("slides", "PowerPoint")),
    **dict.fromkeys(("xlsx", "xlsm", "xltx", "xlsb", "xls"), ("sheets", "Excel")),
    "ods": ("sheets", "OpenDocument spreadsheet"),
    **dict.fromkeys(("odt", "ott"), ("opendocument", "OpenDocument text")),
    **dict.fromkeys(("odp", "otp"), ("opendocument", "OpenDocument slides")),
    "rtf": ("rtf", "RTF"),
    "epub": ("epub", "EPUB"),
    "ipynb": ("notebook", "Jupyter notebook"),
    "eml": ("mail", "E-mail"),
    **dict.fromkeys(("mht", "mhtml"), ("mail", "MHTML")),
}
_TEXTS: Final = {
    "adoc": "AsciiDoc", "asciidoc": "AsciiDoc", "bib": "BibTeX", "csv": "CSV", "json": "JSON",
    "json5": "JSON", "geojson": "JSON", "jsonl": "JSON Lines",
    "ndjson": "JSON Lines", "log": "Log", "org": "Org", "srt": "Subtitles", "svg": "SVG",
    "tex": "LaTeX", "tsv": "TSV", "txt": "Text", "text": "Text", "vtt": "Subtitles",
    "xml": "XML",
}  # fmt: skip
TABLE_KINDS: Final = frozenset(("CSV", "TSV", "Excel", "OpenDocument spreadsheet"))
"""What users call the formats whose headings are the names of columns."""

_LANGUAGES: Final = {
    "asm": "Assembly", "s": "Assembly", "awk": "AWK", "bash": "Shell", "sh": "Shell",
    "zsh": "Shell", "fish": "Shell", "bat": "Batch", "cmd": "Batch", "c": "C", "h": "C",
    "cc": "C++", "cpp": "C++", "cxx": "C++", "hh": "C++", "hpp": "C++", "hxx": "C++",
    "cs": "C#", "clj": "Clojure", "cljs": "Clojure", "cmake": "CMake", "css": "CSS",
    "scss": "CSS", "sass": "CSS", "less": "CSS", "tcss": "CSS", "cu": "CUDA", "cuh": "CUDA",
    "d": "D", "dart": "Dart", "diff": "Patch", "patch": "Patch", "el": "Lisp", "lisp": "Lisp",
    "lsp": "Lisp", "scm": "Scheme", "rkt": "Scheme", "elm": "Elm", "erl": "Erlang",
    "hrl": "Erlang", "ex": "Elixir", "exs": "Elixir", "f": "Fortran", "f90": "Fortran",
    "f95": "Fortran", "for": "Fortran", "fs": "F#", "fsx": "F#", "go": "Go", "gradle": "Gradle",
    "graphql": "GraphQL", "groovy": "Groovy", "hcl": "HCL", "tf": "HCL", "hs": "Haskell",
    "ini": "Settings", "cfg": "Settings", "conf": "Settings", "properties": "Settings",
    "toml": "TOML", "yaml": "YAML", "yml": "YAML", "java": "Java", "jinja": "Template",
    "j2": "Template", "tmpl": "Template", "jl": "Julia", "js": "JavaScript", "cjs": "JavaScript",
    "mjs": "JavaScript", "jsx": "JavaScript", "kt": "Kotlin", "kts": "Kotlin", "lua": "Lua",
    "m": "Objective-C or MATLAB", "mm": "Objective-C", "mk": "Make", "ml": "OCaml",
    "mli": "OCaml", "nim": "Nim", "nix": "Nix", "pas": "Pascal", "php": "PHP", "pl": "Perl",
    "pm": "Perl", "proto": "Protocol Buffers", "ps1": "PowerShell", "psm1": "PowerShell",
    "py": "Python", "pyi": "Python", "pyw": "Python", "pyx": "Cython", "pxd": "Cython",
    "r": "R", "rb": "Ruby", "rs": "Rust", "scala": "Scala", "sc": "Scala", "sol": "Solidity",
    "sql": "SQL", "svelte": "Svelte", "swift": "Swift", "tcl": "Tcl", "ts": "TypeScript",
    "tsx": "TypeScript", "v": "Verilog", "sv": "Verilog", "vb": "Visual Basic", "vhd": "VHDL",
    "vhdl": "VHDL", "vim": "Vim script", "vue": "Vue", "zig": "Zig",
}  # fmt: skip
_LANGUAGES_BY_NAME: Final = {
    "dockerfile": "Dockerfile", "makefile": "Make", "gnumakefile": "Make", "rakefile": "Ruby",
    "gemfile": "Ruby", "cmakelists.txt": "CMake", "jenkinsfile": "Groovy",
}  # fmt: skip
for _ending, _name in _TEXTS.items():
    _FORMATS[_ending] = ("text", _name)
for _ending, _name in _LANGUAGES.items():
    _FORMATS[_ending] = ("code", _name)

_NO_DOCUMENTS: Final = {
    "a picture": "avif bmp gif heic heif ico jpeg jpg jxl png psd raw tif tiff webp xcf",
    "a recording": "aac aiff flac m4a mid midi mp3 ogg opus wav wma",
    "a film": "avi flv m4v mkv mov mp4 mpeg mpg webm wmv",
    "an archive": "7z bz2 deb dmg gz iso jar lz4 lzma rar rpm tar tgz war whl xz zip zst",
    "a program": "a class dll dylib exe lib o obj pyc pyd pyo so wasm",
    "binary data": "bin",
    "a font": "eot otf ttc ttf woff woff2",
    "a database": "db db3 mdb sqlite sqlite3",
    "data of a model": "ckpt gguf h5 npy npz onnx parquet pickle pkl pt pth safetensors",
}
_OFFICE: Final = {
    "doc dot pages": ".docx, .pdf or .txt",
    "key pps ppt": ".pptx or .pdf",
    "numbers": ".xlsx or .csv",
    "msg": ".eml",
}
_REASONS: Final = {
    **{
        ending: f"This is {what}, which holds no text."
        for what, endings in _NO_DOCUMENTS.items()
        for ending in endings.split()
    },
    **{
        ending: f"Files of the kind .{ending} are not read; save it as {readable}."
        for endings, readable in _OFFICE.items()
        for ending in endings.split()
    },
}

_WITH_PICTURES: Final = frozenset(
    (*("pdf", "word", "slides", "sheets", "opendocument", "rtf", "epub", "notebook", "mail"),)
)

LEFT_OUT_FOLDERS: Final = frozenset({"__pycache__", "node_modules", "__MACOSX"})
"""Folders that programs fill; those whose name begins with a dot are left out besides."""
LEFT_OUT_FILES: Final = frozenset({"Thumbs.db", "desktop.ini", "ehthumbs.db"})
_BACKUP: Final = re.compile(r"~\$.*|.*~|\#.*\#|.*\.(?:sw[a-p]|tmp|part|crdownload)", re.DOTALL)


def is_left_out(name: str, is_folder: bool) -> bool:
    """Whether something is not the user's own document: hidden, a backup, filled by a program."""
    if name[0] == ".":
        return True
    if is_folder:
        return name in LEFT_OUT_FOLDERS
    return name in LEFT_OUT_FILES or (
        (name[0] in "~#" or name[-1] == "~" or "." in name) and _BACKUP.fullmatch(name) is not None
    )


def format_of(name: str) -> tuple[Format, str]:
    """The format of a file and what users call it; one that is not known is taken for text."""
    lower = name.lower()
    if language := _LANGUAGES_BY_NAME.get(lower):
        return "code", language
    return _FORMATS.get(_ending_of(lower), ("text", "Text"))


def problem_of(name: str) -> str:
    """Why a file of this name is no document; empty where it can be one."""
    return _REASONS.get(_ending_of(name.lower()), "")


def max_bytes_of(form: Format) -> int:
    """How large a file of a format may be."""
    return MAX_FILE_BYTES if form in _WITH_PICTURES else MAX_TEXT_BYTES


def _ending_of(name: str) -> str:
    return name.rpartition(".")[2] if "." in name[1:] else ""
