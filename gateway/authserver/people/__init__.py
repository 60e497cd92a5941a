"""What people do: sign in, consent, approve a device, see which apps have access."""
