"""The checks of meaning: each looks at one kind of mistake and reports it once.

They run on a document of the right shape. Where one check finds that something does
not exist, the others treat it as unknown instead of reporting what follows from it.
"""
