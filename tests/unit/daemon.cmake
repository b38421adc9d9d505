# SPDX-License-Identifier: Apache-2.0
set(PYAUDIT_UNIT_DAEMON buf json conf frame request recent process report sink drain ring_model)
list(APPEND PYAUDIT_UNIT_DAEMON entry spool sink_context held earlier openmetrics)
set(PYAUDIT_UNIT_held_SOURCES ${CMAKE_SOURCE_DIR}/daemon/held.c)
set(PYAUDIT_UNIT_earlier_SOURCES ${CMAKE_SOURCE_DIR}/daemon/earlier.c)
set_source_files_properties(test_held.c test_earlier.c PROPERTIES INCLUDE_DIRECTORIES ${CMAKE_SOURCE_DIR}/daemon)
if(PYAUDIT_SYSTEMD)
	list(APPEND PYAUDIT_UNIT_DAEMON journal)
endif()
list(APPEND PYAUDIT_UNIT_DAEMON capture)
list(APPEND PYAUDIT_UNIT_DAEMON census limit)
set_source_files_properties(test_ring_model.c PROPERTIES COMPILE_OPTIONS -O2) # many steps
