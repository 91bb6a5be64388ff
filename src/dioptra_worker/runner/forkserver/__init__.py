"""The fork server: hands out runners, and outlives none of them."""
