# Turns files into a C++ source: NAME=FILE becomes
#   extern const std::string_view NAME
#
# cmake -DOUT=FILE.cc "-DFILES=kName=path;..." -P embed.cmake
set(TEXT "// Generated from the files that it names.\n#include \"client/load/report_files.h\"\n\nnamespace halfstep::load {\n")
foreach(ENTRY ${FILES})
  string(REGEX MATCH "^([^=]+)=(.*)$" ENTRY "${ENTRY}")
  set(NAME ${CMAKE_MATCH_1})
  set(FILE ${CMAKE_MATCH_2})
  file(READ ${FILE} HEX HEX)
  string(REGEX REPLACE "(................................)" "\\1\n    " HEX "${HEX}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," HEX "${HEX}")
  get_filename_component(BASE ${FILE} NAME)
  string(APPEND TEXT "\n// ${BASE}\nstatic constexpr unsigned char ${NAME}Bytes[] = {\n    ${HEX}\n};\nconst std::string_view ${NAME}(\n    reinterpret_cast<const char*>(${NAME}Bytes), sizeof ${NAME}Bytes);\n")
endforeach()
string(APPEND TEXT "\n}  // namespace halfstep::load\n")
file(WRITE ${OUT} "${TEXT}")
