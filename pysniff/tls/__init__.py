"""TLS decrypted with keys from wherever they can be had."""
