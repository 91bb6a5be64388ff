"""From text to records: the document, its shape, its places."""
