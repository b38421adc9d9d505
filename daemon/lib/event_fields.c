/* SPDX-License-Identifier: Apache-2.0 */
#include "event_fields.h"
#include "pyaudit/events.h"

static bool
has_source(unsigned event, unsigned first, unsigned last)
{
	for (unsigned i = 0; i < PYAUDIT_SOURCES_MAX; i++) {
		const struct pyaudit_source *source = &pyaudit_event_sources[event][i];

		if (source->how != PYAUDIT_HOW_NONE && source->field >= first && source->field <= last)
			return true;
	}
	return false;
}

bool
event_may_have(unsigned event, unsigned field)
{
	switch (field) {
	case PYAUDIT_F_EXEC_PATH:
	case PYAUDIT_F_EXEC_NAME:
	case PYAUDIT_F_EXEC_ARGV:
	case PYAUDIT_F_EXEC_CMDLINE:
	case PYAUDIT_F_EXEC_SHELL:
	case PYAUDIT_F_EXEC_PROGRAMS:
		return has_source(event, PYAUDIT_F_EXEC_PATH, PYAUDIT_F_EXEC_CWD);
	case PYAUDIT_F_FILE_PATH:
	case PYAUDIT_F_FILE_NAME:
	case PYAUDIT_F_FILE_WRITE:
	case PYAUDIT_F_FILE_FD:
	case PYAUDIT_F_FILE_REAL:
		return has_source(event, PYAUDIT_F_FILE_PATH, PYAUDIT_F_FILE_FD);
	case PYAUDIT_F_NET_HOST:
	case PYAUDIT_F_NET_IP:
	case PYAUDIT_F_NET_PORT:
	case PYAUDIT_F_NET_FAMILY:
	case PYAUDIT_F_NET_PATH:
		return has_source(event, PYAUDIT_F_NET_HOST, PYAUDIT_F_NET_PATH);
	case PYAUDIT_F_URL_FULL:
	case PYAUDIT_F_URL_SCHEME:
	case PYAUDIT_F_URL_HOST:
	case PYAUDIT_F_URL_PATH:
	case PYAUDIT_F_URL_METHOD:
		return has_source(event, PYAUDIT_F_URL_FULL, PYAUDIT_F_URL_METHOD);
	case PYAUDIT_F_FILE_REAL_TARGET:
		return has_source(event, PYAUDIT_F_FILE_TARGET, PYAUDIT_F_FILE_TARGET);
	case PYAUDIT_F_EXEC_CWD:
	case PYAUDIT_F_FILE_TARGET:
	case PYAUDIT_F_IMPORT_MODULE:
	case PYAUDIT_F_IMPORT_PATH:
	case PYAUDIT_F_CODE_FILENAME:
	case PYAUDIT_F_CODE_SOURCE:
	case PYAUDIT_F_PICKLE_MODULE:
	case PYAUDIT_F_PICKLE_NAME:
	case PYAUDIT_F_LIB_PATH:
	case PYAUDIT_F_LIB_SYMBOL:
	case PYAUDIT_F_ENV_NAME:
	case PYAUDIT_F_ENV_VALUE:
	case PYAUDIT_F_SCRIPT:
		return has_source(event, field, field);
	default:
		return true;
	}
}
