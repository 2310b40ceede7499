"""What a trained generator is used for: pictures, translations, exports."""
