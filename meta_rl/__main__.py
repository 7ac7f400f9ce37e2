"""Makes ``python -m meta_rl`` the same command as ``meta-rl``."""

from meta_rl.cli import main

if __name__ == "__main__":
    main()
