"""The contenders' programs. They run in an environment of their own, in which there is no Seawall."""
