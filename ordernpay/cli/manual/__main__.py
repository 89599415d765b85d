"""``python -m ordernpay.cli.manual DIRECTORY``: write the manual pages and completions below a directory."""

import sys
from pathlib import Path

from ordernpay.cli.manual import files

if __name__ == "__main__":
    for name, content in files().items():
        path = Path(sys.argv[1]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
