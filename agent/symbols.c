/* SPDX-License-Identifier: Apache-2.0 */
#include <link.h>
#include <string.h>

#include "symbols.h"

struct search {
	uintptr_t address;
	struct symbols *found;
	unsigned n; /* objects that were looked at: the first one is the program */
};

/* glibc writes addresses into the dynamic section where it can be written, and leaves what was linked where not. */
static const void *
at_address(uintptr_t base, uintptr_t value)
{
	union {
		uintptr_t number;
		const void *pointer;
	} at = {value < base ? base + value : value};

	return at.pointer;
}

static bool
read_dynamic(struct symbols *ret, uintptr_t base, const ElfW(Dyn) *entry)
{
	const uint32_t *hash = NULL;

	ret->base = base;
	for (; entry->d_tag != DT_NULL; entry++) {
		const void *at = at_address(base, entry->d_un.d_ptr);

		if (entry->d_tag == DT_GNU_HASH)
			hash = at;
		else if (entry->d_tag == DT_SYMTAB)
			ret->table = at;
		else if (entry->d_tag == DT_STRTAB)
			ret->names = at;
	}
	if (hash == NULL || hash[0] == 0 || ret->table == NULL || ret->names == NULL)
		return false;
	/* Buckets, the first symbol, words of the filter, its shift; the filter; buckets; chains. */
	ret->n_buckets = hash[0];
	ret->first = hash[1];
	ret->buckets = hash + 4 + hash[2] * (sizeof(ElfW(Addr)) / sizeof(*hash));
	ret->chain = ret->buckets + ret->n_buckets;
	return true;
}

static int
look_into(struct dl_phdr_info *info, size_t size, void *data)
{
	struct search *search = data;
	const void *dynamic = NULL;
	bool here = false;

	(void)size;
	search->n++;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];
		uintptr_t begin = info->dlpi_addr + part->p_vaddr;

		if (part->p_type == PT_LOAD && search->address - begin < part->p_memsz)
			here = true;
		else if (part->p_type == PT_DYNAMIC)
			dynamic = at_address(info->dlpi_addr, begin);
	}
	if (!here)
		return 0;
	*search->found = (struct symbols){.is_program = search->n == 1};
	return dynamic != NULL && read_dynamic(search->found, info->dlpi_addr, dynamic) ? 1 : -1;
}

bool
symbols_of(struct symbols *ret, const void *address)
{
	struct search search = {(uintptr_t)address, ret, 0};

	return dl_iterate_phdr(look_into, &search) == 1;
}

void *
symbols_find(const struct symbols *symbols, const char *name, size_t *ret_size)
{
	uint32_t hash = 5381, number;
	union {
		uintptr_t number;
		void *pointer;
	} at;

	for (const char *c = name; *c != '\0'; c++)
		hash = hash * 33 + (unsigned char)*c;
	number = symbols->buckets[hash % symbols->n_buckets];
	for (; number >= symbols->first; number++) {
		uint32_t other = symbols->chain[number - symbols->first];
		const ElfW(Sym) *symbol = (const ElfW(Sym) *)symbols->table + number;

		if ((other | 1) == (hash | 1) && symbol->st_shndx != SHN_UNDEF &&
		    strcmp(symbols->names + symbol->st_name, name) == 0) {
			*ret_size = symbol->st_size;
			at.number = symbols->base + symbol->st_value;
			return at.pointer;
		}
		if ((other & 1) != 0)
			break; /* the end of this chain */
	}
	return NULL;
}
