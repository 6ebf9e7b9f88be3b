"""`python -m radvlm_cli` is `radvlm`."""

from radvlm_cli.main import main

if __name__ == "__main__":
    main()
