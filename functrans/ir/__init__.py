"""The intermediate form: types, programs, their checker and their printer."""
