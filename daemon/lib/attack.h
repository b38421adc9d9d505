/* SPDX-License-Identifier: Apache-2.0 */
/* Techniques of MITRE ATT&CK, so that a rule cannot name one that does not exist. */
#ifndef LIB_ATTACK_H
#define LIB_ATTACK_H

/* Version of ATT&CK that the table is of. */
#define ATTACK_VERSION "18.0"

/* Name of technique @id ("T1059.006": "Python"), or NULL: the table does not know it. */
const char *attack_name(const char *id);

#endif
