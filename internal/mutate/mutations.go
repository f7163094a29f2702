package main

var mutations = []mutation{}
