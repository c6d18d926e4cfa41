"""The runtime every service stands on, and the compiler that turns contracts into what enforces and shows them."""
