/* A plugin in C whose descriptor is longer than that of loophost.h, as a later minor may write it. */
#include "loophost.h"

struct long_descriptor {
    char magic[16];
    uint32_t size;
    uint32_t abi_major;
    uint32_t abi_minor;
    uint32_t needs_minor;
    uint32_t flags;
    uint32_t metadata_len;
    char abi_stable[16];
    char first[20];
    char rest_of_summary[2 * LOOPHOST_METADATA_ROOM];
    char last[20];
};

LOOPHOST_EXPORT const struct long_descriptor loophost_plugin_1 = {
    "loophost plugin",
    sizeof(struct long_descriptor),
    LOOPHOST_ABI_MAJOR,
    LOOPHOST_ABI_MINOR,
    LOOPHOST_ABI_MINOR,
    LOOPHOST_PLUGIN_C,
    sizeof(struct long_descriptor) - offsetof(struct long_descriptor, first),
    "",
    "name=long\nsummary=x",
    "",
    "\noffer=policy:last\n",
};

LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {
    sizeof(struct loophost_c_plugin), NULL, NULL, NULL, NULL,
};
