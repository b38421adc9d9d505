/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers as they stand on the wire and in policy images: little endian, unaligned, fixed width.
 * A struct made only of these has no padding and alignment 1, so it may lie at any byte of a
 * buffer. Each accessor is one load or store on little-endian machines.
 */
#ifndef PYAUDIT_LE_H
#define PYAUDIT_LE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

typedef struct { uint8_t b[2]; } pyaudit_le16;
typedef struct { uint8_t b[4]; } pyaudit_le32;
typedef struct { uint8_t b[8]; } pyaudit_le64;

static inline uint16_t
pyaudit_get16(pyaudit_le16 v)
{
	uint16_t n;

	memcpy(&n, v.b, sizeof(n));
	return le16toh(n);
}

static inline uint32_t
pyaudit_get32(pyaudit_le32 v)
{
	uint32_t n;

	memcpy(&n, v.b, sizeof(n));
	return le32toh(n);
}

static inline uint64_t
pyaudit_get64(pyaudit_le64 v)
{
	uint64_t n;

	memcpy(&n, v.b, sizeof(n));
	return le64toh(n);
}

static inline pyaudit_le16
pyaudit_le16_of(uint16_t v)
{
	uint16_t n = htole16(v);
	pyaudit_le16 le;

	memcpy(le.b, &n, sizeof(n));
	return le;
}

static inline pyaudit_le32
pyaudit_le32_of(uint32_t v)
{
	uint32_t n = htole32(v);
	pyaudit_le32 le;

	memcpy(le.b, &n, sizeof(n));
	return le;
}

static inline pyaudit_le64
pyaudit_le64_of(uint64_t v)
{
	uint64_t n = htole64(v);
	pyaudit_le64 le;

	memcpy(le.b, &n, sizeof(n));
	return le;
}

#endif
