"""Proves the images by building and running them; `containers/test` is its program.

Start reading at `story`: what happens, in its order. `tools` knows Docker, Podman and
Buildah, `context` what an image is built from and `origins` what it is built on,
`checks` what is looked at, `deployment` the Compose file.
"""
