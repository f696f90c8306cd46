"""Laws that every transform keeps, on programs drawn at random and on the classic examples of the field."""
