# docker build -t gan .                      for CPUs
# docker build -t gan --build-arg GPU=1 .    with NVIDIA's libraries; the host has the driver
FROM python:3.11-slim-bookworm
ARG GPU
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
COPY requirements.txt requirements-gpu.txt /opt/gan/
RUN pip install --no-cache-dir -r "/opt/gan/requirements${GPU:+-gpu}.txt"
COPY . /opt/gan/
# Data and runs are in /runs, which any user may write to if nothing is mounted there. Any user may
# read the program, also if its files were private to the user who built the image.
RUN mkdir -m 1777 /runs && chmod -R a+rX /opt/gan
WORKDIR /runs
USER 1000
ENTRYPOINT ["python", "/opt/gan/main.py"]
CMD ["--help"]
