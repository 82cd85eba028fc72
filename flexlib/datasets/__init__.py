"""Files to `flexlib.data.Ratings`: MovieLens and Netflix by name, synthetic ratings, and files of one's own.

`flexlib.datasets.loading` is the entry. It imports the others: `sources` finds or fetches a named set's files,
`grouplens` and `netflix` read their formats, `tables` reads and checks any table, `synthetic` draws ratings.
"""
