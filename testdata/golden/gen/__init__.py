"""Reference values for gpupeft's tests, computed by HF transformers and PEFT. See ../README.md."""
