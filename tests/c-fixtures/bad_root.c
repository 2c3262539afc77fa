/* Plugins whose `loophost_c_plugin_1` or `init` is bad, each by its number. */
#include "loophost.h"

LOOPHOST_PLUGIN("name=bad-root\nversion=0.1.0\nsummary=cannot be loaded\noffer=policy:bad\noffer.summary=nothing\n");

static inline int silent(const struct loophost_host *host, struct loophost_error *error) {
    (void)host;
    (void)error;
    return -1;
}

static inline int not_utf8(const struct loophost_host *host, struct loophost_error *error) {
    (void)host;
    return loophost_fail(error, LOOPHOST_ERROR_PLUGIN(7), 0, "caf\xe9 is closed\nfor today");
}

#if BAD == 0 /* there is none */
#elif BAD == 1
LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {16, NULL, NULL, NULL, NULL};
#elif BAD == 2
LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {0xdeadbeef, NULL, NULL, NULL, NULL};
#elif BAD == 3
LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {0, NULL, NULL, NULL, NULL};
#elif BAD == 4
LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {sizeof(struct loophost_c_plugin), silent, NULL, NULL, NULL};
#elif BAD == 5
LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {sizeof(struct loophost_c_plugin), not_utf8, NULL, NULL, NULL};
#elif BAD == 6 /* it offers a policy and cannot make one */
LOOPHOST_EXPORT const struct loophost_c_plugin loophost_c_plugin_1 = {sizeof(struct loophost_c_plugin), NULL, NULL, NULL, NULL};
#endif
