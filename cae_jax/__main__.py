"""`python -m cae_jax` is `cae`."""

from cae_jax.cli.main import main

if __name__ == "__main__":
    main()
