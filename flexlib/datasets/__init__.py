"""Files to `flexlib.data.Ratings`: MovieLens and Netflix by name, synthetic ratings, and files of one's own."""
