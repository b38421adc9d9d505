/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers as they stand on the wire and in policy images: little endian, unaligned, fixed width.
 * A struct made only of these has no padding and alignment 1, so it may lie at any byte of a
 * buffer. Compilers turn each accessor into one load or store on little-endian machines.
 */
#ifndef PYAUDIT_LE_H
#define PYAUDIT_LE_H

#include <stdint.h>

typedef struct { uint8_t b[2]; } pyaudit_le16;
typedef struct { uint8_t b[4]; } pyaudit_le32;
typedef struct { uint8_t b[8]; } pyaudit_le64;

static inline uint16_t
pyaudit_get16(pyaudit_le16 v)
{
	return (uint16_t)(v.b[0] | v.b[1] << 8);
}

static inline uint32_t
pyaudit_get32(pyaudit_le32 v)
{
	return (uint32_t)v.b[0] | (uint32_t)v.b[1] << 8 | (uint32_t)v.b[2] << 16 |
	       (uint32_t)v.b[3] << 24;
}

static inline uint64_t
pyaudit_get64(pyaudit_le64 v)
{
	return (uint64_t)v.b[0] | (uint64_t)v.b[1] << 8 | (uint64_t)v.b[2] << 16 |
	       (uint64_t)v.b[3] << 24 | (uint64_t)v.b[4] << 32 | (uint64_t)v.b[5] << 40 |
	       (uint64_t)v.b[6] << 48 | (uint64_t)v.b[7] << 56;
}

static inline pyaudit_le16
pyaudit_le16_of(uint16_t v)
{
	return (pyaudit_le16){{(uint8_t)v, (uint8_t)(v >> 8)}};
}

static inline pyaudit_le32
pyaudit_le32_of(uint32_t v)
{
	return (pyaudit_le32){
		{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)}};
}

static inline pyaudit_le64
pyaudit_le64_of(uint64_t v)
{
	return (pyaudit_le64){{(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16),
			       (uint8_t)(v >> 24), (uint8_t)(v >> 32), (uint8_t)(v >> 40),
			       (uint8_t)(v >> 48), (uint8_t)(v >> 56)}};
}

#endif
