"""``python -m ordernpay`` is the same as ``ordernpay``."""

from ordernpay.cli import main

if __name__ == "__main__":
    main()
