# SPDX-License-Identifier: GPL-2.0
#
# The devices of the emulator that is built for tests: a machine with disks, and
# memory that comes, goes and is discarded.
CONFIG_ISAPC=n
CONFIG_I440FX=y
CONFIG_MICROVM=n
CONFIG_NITRO_ENCLAVE=n
CONFIG_Q35=y
CONFIG_SERIAL_ISA=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_SCSI=y
CONFIG_VIRTIO_BALLOON=y
CONFIG_VIRTIO_MEM=y
CONFIG_VHOST_USER_BLK=y
CONFIG_PCIE_PORT=y
CONFIG_VIRTIO_SERIAL=y
# hw/acpi/cxl.c, which q35 brings, does not link without these
CONFIG_PXB=y
CONFIG_CXL=y
CONFIG_CXL_MEM_DEVICE=y
