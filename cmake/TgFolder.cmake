# tg_folder(<name> <dir> LINK <targets...>): the static library tg_<name> of all sources in <dir>.
# main.c is left out: it belongs to the program.
function(tg_folder name dir)
    cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${dir}/*.c)
    list(FILTER sources EXCLUDE REGEX "/main\\.c$")
    if(sources)
        add_library(tg_${name} STATIC ${sources})
        target_link_libraries(tg_${name} PUBLIC ${ARG_LINK})
    else()
        # A folder with headers only (or none yet) still passes its links on.
        add_library(tg_${name} INTERFACE)
        target_link_libraries(tg_${name} INTERFACE ${ARG_LINK})
    endif()
endfunction()
