"""Faust agents, one topic a file: receive, call core, hand the effects to io."""
