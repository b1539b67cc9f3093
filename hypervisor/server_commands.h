/* SPDX-License-Identifier: BSD-3-Clause */
/* What the control socket can ask for: one request to one reply (server.c calls, with hv_lock held). */
#ifndef SLUICE_SERVER_COMMANDS_H
#define SLUICE_SERVER_COMMANDS_H

#include <json-c/json.h>
#include <stddef.h>

#include "domain.h"

/* Do the request in line[0..len). Returns the reply, which the caller puts. *console: the domain whose console the connection becomes
 * once the reply is sent; else NULL. */
struct json_object *server_command(const char *line, size_t len, struct domain **console);

#endif
