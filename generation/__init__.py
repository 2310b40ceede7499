"""Test mode: pictures, translations and exports of trained generators."""
