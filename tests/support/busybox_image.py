#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the image of tests and benchmarks: Debian's busybox-static as an OCI archive.

usage: busybox_image.py FILE [--busybox PROGRAM] [--name IMAGE]

No registry and no container engine is needed. The same busybox gives the same bytes: entries are
sorted, owned by root and dated 1970. FILE is replaced atomically, and only where it differs.
Format: https://github.com/opencontainers/image-spec (image-layout, manifest, config, layer).
"""
import argparse
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile

DEFAULT_NAME = "docker.io/library/busybox:latest"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
DIRECTORIES = [("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)]
ETC_FILES = {
    "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": b"root:x:0:\nnobody:x:65534:\n",
}


def entry(name, mode, kind=tarfile.REGTYPE, size=0, target=""):
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.size, info.linkname = mode, kind, size, target
    return info


def tar_of(entries):
    """The bytes of a tar archive of [(TarInfo, content)]."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def root_file_system(busybox):
    """The one layer: busybox, a link for each of its applets, the least of /etc."""
    with open(busybox, "rb") as file:
        program = file.read()
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    entries = [(entry(name, mode, tarfile.DIRTYPE), b"") for name, mode in DIRECTORIES]
    entries.append((entry("bin/busybox", 0o755, size=len(program)), program))
    for applet in sorted(set(applets.stdout.split()) - {"busybox"}):
        entries.append((entry(f"bin/{applet}", 0o777, tarfile.SYMTYPE, target="busybox"), b""))
    for name, content in ETC_FILES.items():
        entries.append((entry(name, 0o644, size=len(content)), content))
    return tar_of(entries)


def digest(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def descriptor(media_type, blob, **more):
    return {"mediaType": f"application/vnd.oci.image.{media_type}",
            "digest": digest(blob), "size": len(blob), **more}


def image(layer, name):
    """The bytes of an OCI archive that holds one image."""
    here = {"architecture": ARCHITECTURES[platform.machine()], "os": "linux"}
    config = json.dumps({**here, "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", config),
        "layers": [descriptor("layer.v1.tar", layer)]}).encode()
    names = {"io.containerd.image.name": name,
             "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1]}
    index = json.dumps({"schemaVersion": 2, "manifests": [
        descriptor("manifest.v1+json", manifest, platform=here, annotations=names)]}).encode()
    files = {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}', "index.json": index}
    for blob in (manifest, config, layer):
        files["blobs/sha256/" + digest(blob).removeprefix("sha256:")] = blob
    return tar_of([(entry(path, 0o644, size=len(b)), b) for path, b in files.items()])


def write_if_changed(path, content):
    try:
        with open(path, "rb") as file:
            if file.read() == content:
                return
    except FileNotFoundError:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    partial = f"{path}.{os.getpid()}"
    with open(partial, "wb") as file:
        file.write(content)
    os.replace(partial, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--busybox", default="/bin/busybox")
    parser.add_argument("--name", default=DEFAULT_NAME)
    options = parser.parse_args()
    try:
        layer = root_file_system(options.busybox)
        write_if_changed(options.file, image(layer, options.name))
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"make image '{options.file}' of '{options.busybox}': {error}\n"
                 "remedy: install Debian's busybox-static")


if __name__ == "__main__":
    main()
