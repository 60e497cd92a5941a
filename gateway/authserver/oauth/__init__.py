"""What programs ask, on Authlib: tokens, introspection, revocation, device authorization."""
