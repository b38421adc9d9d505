/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Journal entries as bytes: journald's native protocol, `NAME=value\n`, or for values with line
 * ends `NAME\n`, their length in 64 bits little endian, the bytes and `\n`. entry_check is what
 * pyaudit-journal lets pass: a daemon that was taken over may lie about its alerts, but not
 * write in the name of another program.
 */
#ifndef LIB_ENTRY_H
#define LIB_ENTRY_H

#include <stddef.h>

#define ENTRY_FIELDS_MAX 64
#define ENTRY_FIELD_SIZE_MAX 49152 /* name, `=` and value */
#define ENTRY_SIZE_MAX (4u << 20)
#define ENTRY_IDENTIFIER "pyauditd" /* SYSLOG_IDENTIFIER of every entry */

/* NULL: an entry of pyauditd's. Otherwise why it is none. */
const char *entry_check(const void *bytes, size_t size);

#endif
