"""The Jobs tab: a small page on this machine, rendered here, without a build step.

`server` speaks HTTP and keeps strangers out, `routes` answers, the other modules make
HTML. Whatever comes from outside goes through `html.fill`, which escapes it.
"""
