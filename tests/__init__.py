"""Tests of functrans; the folders say which promise is kept: compose, oracle, laws, errors, api."""
