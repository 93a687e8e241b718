# cmake -DFOLDER=<of *.lua> -DOUT=<file.c> -P embed_lua.cmake: the scripts as C arrays, each behind
# common.lua, as lib/store/scripts.h declares them.
file(READ ${FOLDER}/common.lua common HEX)
set(text "/* Made from lib/store/lua by cmake/embed_lua.cmake. */\n#include \"store/scripts.h\"\n\n")
set(rows "")
foreach(name append page lane lease settle device devices control deny index)
    file(READ ${FOLDER}/${name}.lua script HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${common}${script}")
    string(APPEND text "static const char ${name}[] = {${bytes}};\n")
    string(APPEND rows "    {\"${name}\", ${name}, sizeof(${name})},\n")
endforeach()
string(APPEND text "\nconst struct tg_script tg_scripts[TG_SCRIPT_MAX] = {\n${rows}};\n")
file(WRITE ${OUT} "${text}")
